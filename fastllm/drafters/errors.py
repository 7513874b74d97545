"""Why a drafter cannot be used."""


class DrafterError(ValueError):
    """A drafter does not fit the target or cannot be loaded; the message is one sentence that says what to do."""
