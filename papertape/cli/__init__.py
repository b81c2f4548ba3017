"""The ``papertape`` command: one file a verb. Nothing heavy is imported before a verb needs it."""

import papertape

# Whatever folders of our packages' names a user's PYTHONPATH holds; worker processes come by here too.
vars(papertape)["_claim_packages"]()
