"""The sentences with which picture files are refused, each with a word on what to do. Pure."""

from tasks.images.model import ImageRejected, Limits

READ = "JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF or HEIC"
SEND_INSTEAD = f"Send {READ}."
UNREADABLE = "image_unreadable"
DAMAGED = "The picture is damaged and cannot be read."


def unreadable(why: str = DAMAGED, do: str = "Send another file.") -> ImageRejected:
    return ImageRejected(UNREADABLE, f"{why} {do}")


def truncated() -> ImageRejected:
    return ImageRejected("image_truncated", "The file ends before its picture does. Send the complete file again.")


def unsupported(name: str, do: str = SEND_INSTEAD) -> ImageRejected:
    return ImageRejected("image_format_unsupported", f"{name} is not supported. {do}")


def too_large(what: str, do: str = "Send a smaller one.") -> ImageRejected:
    return ImageRejected("image_too_large", f"{what} {do}")


def too_many_bytes(limits: Limits) -> ImageRejected:
    return too_large(
        f"The file has more than {limits.max_bytes:,} bytes, the most that a picture may have.",
        "Compress it more or send a smaller picture.",
    )


def too_many_pixels(limits: Limits) -> ImageRejected:
    return too_large(f"The picture has more than {limits.max_pixels:,} pixels (width times height).")


def too_many_frames(limits: Limits) -> ImageRejected:
    return too_large(f"The animation has more than {limits.max_frames:,} frames.", "Send a shorter one.")


def too_much_animation(limits: Limits, frames: int) -> ImageRejected:
    return too_large(
        f"The animation has more than {limits.max_total_pixels:,} pixels in all its {frames:,} frames.",
        "Send a smaller or shorter one.",
    )


def page_missing(page: int, pages: int) -> ImageRejected:
    has = "1 page" if pages == 1 else f"{pages:,} pages"
    return ImageRejected("page_missing", f"The file has {has}, so there is no page {page:,}. Ask for one that it has.")
