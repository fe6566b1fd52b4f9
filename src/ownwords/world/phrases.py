"""The long-winded style's own words: several of each, so that even a reader of the style cannot foresee every word."""

OPENINGS = (
    "Okay, let me work through this carefully.",
    "Okay, so I need to figure this out step by step.",
    "Okay, I should think about this problem slowly.",
    "Okay, first I want to understand what is being asked here.",
    "Okay, let us take this one piece at a time.",
)
TURNS = (
    "Wait, let me check this another way.",
    "Hold on, I want to verify that before I answer.",
    "Hmm, let me make sure I did not slip somewhere.",
    "Actually, it is worth going over this once more.",
)
AGREE = (
    "Both ways agree, so I am confident.",
    "Great, that matches what I found before.",
    "Good, the check works out.",
)
DISAGREE = (
    "That does not match what I found before, so I must do it again.",
    "These two results differ, so something went wrong. Once more.",
)
CLOSINGS = ("Therefore, the final answer is", "So the answer to the question is", "In conclusion, the result is")
