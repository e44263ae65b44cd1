"""The types of arrays in public classes. They can be asked for, by pydantic and the like, without importing numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    Float32s: TypeAlias = NDArray[np.float32]
    UInt32s: TypeAlias = NDArray[np.uint32]
    Int64s: TypeAlias = NDArray[np.int64]
else:
    CoreSchema = GetCoreSchemaHandler = GetJsonSchemaHandler = JsonSchemaValue = Any


@dataclass(frozen=True, slots=True)
class Numbers:
    """What pydantic makes of an array: read from a list of numbers, and a list again as JSON."""

    dtype: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        as_list = core_schema.plain_serializer_function_ser_schema(_as_list, when_used="json")
        return core_schema.no_info_plain_validator_function(self._read, serialization=as_list)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "array", "items": {"type": "number" if self.dtype.startswith("float") else "integer"}}

    def _read(self, value: Any) -> Any:
        import numpy as np

        try:
            array = np.asarray(value, dtype=self.dtype)
        except (TypeError, OverflowError) as error:
            raise ValueError("expected a list of numbers") from error
        if array.ndim != 1:
            raise ValueError(f"expected a list of numbers, got {array.ndim} dimensions")
        return array


def _as_list(array: Any) -> list[Any]:
    numbers: list[Any] = array.tolist()
    return numbers


if not TYPE_CHECKING:
    Float32s: Final = Annotated[Any, Numbers("float32")]
    UInt32s: Final = Annotated[Any, Numbers("uint32")]
    Int64s: Final = Annotated[Any, Numbers("int64")]
