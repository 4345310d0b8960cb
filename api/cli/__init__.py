"""The command line `millrace`: HTTP only, through api.client."""
