from fer_utils.widgets.form import EmotionUploader
from fer_utils.widgets.page import uploader

__all__ = ["EmotionUploader", "uploader"]
