"""What is wrong with a platform, and how to mend it. See docs/doctor.md."""
