import pytest

from tasks.errors import ConfigurationError
from tasks.image_settings import ImageSettings, from_env
from tasks.images.model import Limits


def test_without_variables_the_defaults_hold() -> None:
    assert from_env({}) == ImageSettings(limits=Limits(), engine="vips", threads=1, planes=True)
    assert from_env({"IMAGE_ENGINE": "", "IMAGE_MAX_PIXELS": "", "IMAGE_PLANES": ""}) == from_env({})


def test_every_variable_counts() -> None:
    env = {
        "IMAGE_MAX_BYTES": "1000",
        "IMAGE_MAX_PIXELS": "200",
        "IMAGE_MAX_TOTAL_PIXELS": "300",
        "IMAGE_MAX_FRAMES": "4",
        "IMAGE_MAX_OUTPUT_PIXELS": "500",
        "IMAGE_ENGINE": "pillow",
        "IMAGE_THREADS": "6",
        "IMAGE_PLANES": "off",
    }

    limits = Limits(max_bytes=1000, max_pixels=200, max_total_pixels=300, max_frames=4, max_output_pixels=500)
    assert from_env(env) == ImageSettings(limits=limits, engine="pillow", threads=6, planes=False)


def test_a_picture_may_have_as_many_pixels_as_are_allowed_whatever_is_said_of_animations() -> None:
    assert from_env({"IMAGE_MAX_PIXELS": "900000000"}).limits.max_total_pixels == 900_000_000
    with pytest.raises(
        ConfigurationError, match=r"^IMAGE_MAX_TOTAL_PIXELS must be at least IMAGE_MAX_PIXELS, 200, not"
    ):
        from_env({"IMAGE_MAX_PIXELS": "200", "IMAGE_MAX_TOTAL_PIXELS": "199"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((f"IMAGE_{name}", value) for name in ("MAX_BYTES", "MAX_PIXELS", "MAX_FRAMES") for value in ("0", "-1", "x")),
        ("IMAGE_MAX_TOTAL_PIXELS", "1e9"),
        ("IMAGE_MAX_OUTPUT_PIXELS", "9" * 30),
        ("IMAGE_THREADS", "0"),
        ("IMAGE_ENGINE", "Pillow"),
        ("IMAGE_PLANES", "yes"),
    ],
)
def test_a_bad_value_is_refused_with_a_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_env({name: value})

    assert str(caught.value).startswith(f"{name} must be ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120
