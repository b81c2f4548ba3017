"""``python -m papertape``: the same program as the ``papertape`` command.

``python -m`` puts the current folder first on ``sys.path``, where a user's own ``strategies`` or ``feeds`` folder
would then stand before ours. That entry is taken off, unless papertape itself lies there.
"""

import os
import sys


def _drop_current_folder() -> None:
    """Take the entry that ``python -m`` added off the front of ``sys.path``."""
    if sys.flags.safe_path or not sys.path:
        return
    here = os.path.realpath(sys.path[0] or os.curdir)
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if here == os.path.realpath(os.curdir) and here != home:
        del sys.path[0]


if __name__ == "__main__":
    _drop_current_folder()
    from papertape.cli.main import main

    main()
