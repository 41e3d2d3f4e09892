"""The one exception that a user is meant to read."""


class UserError(ValueError):
    """Something the user can mend, said in one sentence.

    The sentence names the key, file or number at fault and, where there is a
    finite choice, what is allowed. Jobs print it without a traceback.
    """
