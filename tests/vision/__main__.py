"""`python -m tests.vision`: the accuracy of every feature on the photographs of the table."""

from tasks.settings import MODELS_DIR
from tasks.vision.models import Models
from tests.vision import accuracy
from tests.vision.photographs import cache, fetched

if __name__ == "__main__":
    found, models = fetched(cache()), Models(MODELS_DIR)
    print(accuracy.report(accuracy.scores(found, models, accuracy.texts(found, models))))
