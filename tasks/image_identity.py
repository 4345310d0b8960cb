"""Which engine makes pictures, as a name that changes with their bytes. Pure: it loads no image library."""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from tasks.image_params import EngineName

PIXELS = 1  # raised by whoever changes our own code so that it gives other bytes for the same file and parameters

# Of what changes bytes, only what Millrace cannot be installed without: everyone has it, and says the same of it.
_PACKAGES = {"vips": ("pyvips-binary", "pillow", "pi-heif"), "pillow": ("pillow", "pi-heif")}


@lru_cache(maxsize=8)
def identity(configured: str, asked: EngineName = "auto") -> str:
    """What finished pictures are known by, beside their input and parameters: "vips/1 pyvips-binary 8.18.7 …".

    `configured` is the operator's IMAGE_ENGINE, which holds where a step asks for "auto". Processes with other
    versions of an engine, or of what decodes for it, never take each other's pictures for their own.

    Not covered is what a process may lack, as the API may lack all of it: the versions of PDFium and libjpeg-turbo, and
    whether the fast lane is there and on (IMAGE_PLANES). What was made before such a change stays in use.
    """
    engine = configured if asked == "auto" else asked
    return " ".join([f"{engine}/{PIXELS}", *(f"{package} {_version(package)}" for package in _PACKAGES[engine])])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
