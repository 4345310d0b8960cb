"""The shipped templates of pictures, worked off: which files come of them."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from storage.model import StepState, TenantId
from tasks.process import Process
from tests.tasks.test_kinds import work_off


def picture(width: int, height: int) -> bytes:
    made = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(made, "PNG")
    return made.getvalue()


@pytest.mark.parametrize(
    ("document", "made"),
    [
        ({"template": "avatar"}, [(f"avatar-{side}", side, side, "image/webp") for side in (64, 128, 256)]),
        (
            {"template": "responsive", "with": {"widths": [100, 400, 1920], "fallback": 200}},
            [
                ("w100", 100, 75, "image/webp"),
                ("w400", 400, 300, "image/webp"),
                ("w1920", 480, 360, "image/webp"),  # nothing is enlarged
                ("fallback", 200, 150, "image/jpeg"),
            ],
        ),
    ],
    ids=["avatar", "responsive"],
)
def test_its_pictures_are_made(process: Process, tenant: TenantId, document: Any, made: Any) -> None:
    [step] = work_off(process, tenant, document, picture(480, 360)).steps
    assert step.state is StepState.SUCCEEDED, step.error
    found = [(one["name"], one["width"], one["height"], one["content_type"]) for one in step.result["outputs"]]
    assert sorted(found) == sorted(made)
