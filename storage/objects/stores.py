"""The one place that knows which implementation a setting means."""

from storage.objects import Objects
from storage.objects.memory import MemoryObjects
from storage.objects.s3 import S3Objects
from storage.objects.settings import ObjectSettings


def open_objects(settings: ObjectSettings) -> Objects:
    """Return the object store of these settings; nothing is connected before the first call."""
    if settings.bucket is None:
        return MemoryObjects()
    return S3Objects(settings)
