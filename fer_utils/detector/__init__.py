from fer_utils.detector.annotate import annotate
from fer_utils.detector.detector import EmotionDetector

__all__ = ["EmotionDetector", "annotate"]
