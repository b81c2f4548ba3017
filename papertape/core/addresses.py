"""Arrays by where they lie in memory, for compiled code that is given many of them at once, or a number of them that varies.

Numba takes an array apart again at every call, some 100 ns each; an address is one number. Whoever hands an address
over keeps the array alive and in its place: nothing checks it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray


def array_at(address: int, length: int, dtype: Any) -> NDArray[Any]:
    """The C-contiguous array of shape (length,) at an address; ``dtype`` is a constant in compiled code."""
    layout = np.dtype(dtype)
    return np.frombuffer((ctypes.c_char * (length * layout.itemsize)).from_address(address), layout)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _pointer(typing: Any, address: Any) -> Any:
    """Numba's function from an address to a pointer."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), code


overload(array_at)(
    lambda address, length, dtype: lambda address, length, dtype: carray(_pointer(address), length, dtype)
)
