"""The names that everything else agrees on."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

USAGES = ("Training", "PublicTest", "PrivateTest")

IMAGE_SIZE = 48

"""The seven classes; the position of a name is FER-2013's own code for it (0 to 6)."""

"""The three official parts of FER-2013, in the competition's own words."""

"""Height and width of every FER-2013 picture, in pixels."""
