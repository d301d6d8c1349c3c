"""The one error of machine profiles."""


class ProfileError(ValueError):
    """A machine is unknown, ambiguous or malformed.

    The message is one line that names the file or the name, what is wrong with it, and what to do.
    """
