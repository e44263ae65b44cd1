"""What a new user does in the first hour, in order. docs/walk.md shows it with what the program answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

HUB_ID: Final = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: what for, the words of the page, and what is typed.

    A file is written under its `name`; `answers` are regular expressions that the output must have. With `pandas` the
    step needs that package, with `hub` a hub that can be reached.
    """

    title: str
    words: str
    kind: Literal["sh", "python", "csv"]
    code: str
    name: str = ""
    answers: tuple[str, ...] = ()
    pandas: bool = False
    hub: bool = False


STEPS: Final = (
    Step(
        "A file of your own",
        "Ten things of a shop, as a spreadsheet exports them. The longest text is what will be searched.",
        "csv",
        """\
sku,name,description,price,in_stock,category
mug-1,Enamel mug,A light mug of steel that survives every camping trip.,9.50,true,kitchen
mug-2,Vacuum flask,"Keeps a litre of tea or coffee hot for twelve hours, and cold for a day.",24.90,true,kitchen
lamp-1,Reading lamp,"A lamp with a long arm for a desk, with warm light that can be dimmed.",39.00,true,home
lamp-2,Head torch,"A small light on a strap, for walking and reading in the dark with both hands free.",19.90,false,outdoor
tent-1,Two-person tent,"Stands up by itself, takes five minutes to pitch, and holds off the rain.",149.00,true,outdoor
bag-1,Sleeping bag,Filled with down; warm enough for nights a little below zero.,119.00,true,outdoor
pan-1,Cast-iron pan,"Heavy, lasts a lifetime, and goes from the stove into the oven.",34.50,true,kitchen
clock-1,Alarm clock,Wakes you slowly with light instead of noise.,29.00,true,home
chair-1,Folding chair,Fits into a backpack and carries a hundred kilograms.,45.00,false,outdoor
kettle-1,Electric kettle,Boils a litre of water in three minutes and stops by itself.,27.00,true,kitchen
""",
        name="products.csv",
    ),
    Step(
        "Look before you load",
        "`ingest` recognises many names of columns, and says what it took. Here the names are the shop's own, so say which\n"
        "column is the id, the text and the title. `minilm` is the small encoder of the extra `demo`, which needs no\n"
        "network; leave `--model` out for TAS-B, which is downloaded once. Without a server, the collection is kept in\n"
        "`./tasb_qdrant_data`.",
        "sh",
        """\
tasb-qdrant ingest products.csv --collection shop --model minilm \\
  --id-field sku --text-field description --title-field name \\
  --index price:float --index category:keyword --index in_stock:bool
""",
        answers=(r"10", r"shop"),
    ),
    Step(
        "Search",
        "A question in your own words, and a filter on the columns. `search` takes the model from the collection.",
        "sh",
        """\
tasb-qdrant search "something to keep my coffee warm" --collection shop \\
  --filter 'price < 30 and in_stock = true' --limit 2
""",
        answers=(r"mug-2", r"Vacuum flask"),
    ),
    Step(
        "The same from Parquet",
        "Most tools write Parquet; here, pyarrow does, which is installed already. Types come from the file.",
        "python",
        """\
import pyarrow as pa
import pyarrow.parquet as pq

rows = [
    {"sku": "rug-1", "name": "Wool rug", "description": "A thick rug for cold floors.", "price": 89.0, "in_stock": True, "category": "home"},
    {"sku": "stove-1", "name": "Gas stove", "description": "A tiny burner that boils water on a mountain.", "price": 31.0, "in_stock": True, "category": "outdoor"},
]
pq.write_table(pa.Table.from_pylist(rows), "more.parquet")
""",
    ),
    Step(
        "Add it to the collection",
        "What is there already stays, and what is the same is skipped: a second run of any of these commands changes nothing.",
        "sh",
        """\
tasb-qdrant ingest products.csv more.parquet --collection shop --model minilm \\
  --id-field sku --text-field description --title-field name
tasb-qdrant search "cooking high up in the Alps" --collection shop --limit 1
""",
        answers=(r"stove-1",),
    ),
    Step(
        "From a DataFrame",
        "In Python, a DataFrame is a source like a file.",
        "python",
        """\
import pandas as pd

from tasb_qdrant import SourceFields, ingest

frame = pd.DataFrame(
    {
        "sku": ["scarf-1", "knife-1"],
        "name": ["Scarf", "Bread knife"],
        "description": ["A long scarf of merino wool.", "Cuts crusts without crumbs."],
        "price": [35.0, 22.5],
        "in_stock": [True, True],
        "category": ["clothes", "kitchen"],
    }
)
fields = SourceFields(id="sku", text="description", title="name")
report = ingest(frame, collection="shop", model="minilm", fields=fields)
print(report.stored, "stored,", report.points, "in the collection")
""",
        answers=(r"2 stored, 14 in the collection",),
        pandas=True,
    ),
    Step(
        "A typed search",
        "A pydantic model says what a product's other fields are. Your editor then knows `hit.payload.price`, and a filter on a\n"
        "field that isn't there, or with a value of another type, is an error before anything is asked.",
        "python",
        """\
from pydantic import BaseModel

from tasb_qdrant import Hit, Searcher
from tasb_qdrant.filters import fields


class Product(BaseModel):
    price: float
    in_stock: bool
    category: str


product = fields(Product)
with Searcher("shop", payload=Product) as searcher:
    hits: list[Hit[Product]] = searcher.search("a light for the evening", where=product.price < 40, limit=2)
    for hit in hits:
        print(f"{hit.score:.2f} {hit.id} {hit.title}: {hit.payload.price:.2f}, in stock: {hit.payload.in_stock}")
""",
        answers=(r"lamp-",),
    ),
    Step(
        "Change something",
        "Edit the source and run the same command again. Only what differs is touched: a new price replaces the payload, a new\n"
        "text is encoded again.",
        "sh",
        """\
sed -i 's/,24.90,true/,19.90,true/; s/^chair-1,Folding chair,.*/chair-1,Folding chair,"A seat for the river bank, at last back in stock.",45.00,true,outdoor/' products.csv
tasb-qdrant ingest products.csv --collection shop --model minilm \\
  --id-field sku --text-field description --title-field name
tasb-qdrant search "sit beside the water" --collection shop --filter 'in_stock = true' --limit 1
""",
        answers=(r"updated", r"chair-1"),
    ),
    Step(
        "Change single passages",
        "A passage is patched, replaced or deleted by its id, too. Its source knows nothing of that: what it says is stored\n"
        "again by the next `ingest`.",
        "sh",
        """\
tasb-qdrant collection passage patch chair-1 --set price=42.5 --collection shop
tasb-qdrant collection passage replace chair-1 --text "A folding seat for the river bank." --collection shop
tasb-qdrant collection passage delete clock-1 --collection shop
""",
        answers=(r"Patched 1 passage", r"Replaced 1 passage", r"Deleted 1 passage"),
    ),
    Step(
        "Take something away",
        "`--sync` deletes what the sources no longer have; `--dry-run` says first what it would do.",
        "sh",
        """\
sed -i '/^clock-1,/d' products.csv
tasb-qdrant ingest products.csv more.parquet --collection shop --model minilm \\
  --id-field sku --text-field description --title-field name --sync --dry-run
tasb-qdrant ingest products.csv more.parquet --collection shop --model minilm \\
  --id-field sku --text-field description --title-field name --sync
""",
        answers=(r"(?i)delete",),
    ),
    Step(
        "See that it is right",
        "`verify` compares every passage with the sources, and encodes some of them again.",
        "sh",
        """\
tasb-qdrant collection verify --collection shop --source products.csv --source more.parquet \\
  --id-field sku --text-field description --title-field name
tasb-qdrant collection info --collection shop
""",
        answers=(r"11",),
    ),
    Step(
        "A model from the hub",
        "Any BERT-like encoder works by its id on the Hugging Face hub. It is downloaded once; later runs take it from the\n"
        "cache, and searches need no hub.",
        "sh",
        f"""\
tasb-qdrant ingest products.csv --collection shop-hub --model {HUB_ID} \\
  --id-field sku --text-field description --title-field name
tasb-qdrant search "something to sleep in" --collection shop-hub --limit 1
""",
        answers=(r"bag-1",),
        hub=True,
    ),
    Step(
        "Clean up",
        "A collection is deleted by name; without `--yes`, it asks.",
        "sh",
        """\
tasb-qdrant collection delete --collection shop --yes
tasb-qdrant collection list
""",
        answers=(r"Deleted",),
    ),
)
