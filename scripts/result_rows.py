"""The rows of the results table: what is run, what it is compared with, what data it needs."""

from dataclasses import dataclass

from made_exp.datasets.published import Published, published


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: Name of the row, its run folders and its picture.
        data: What was learned, for the table.
        model: What learned it, for the table.
        overrides: Arguments of made-train; $MADE_DATA_DIR stands for the data folder.
        files: Files below the data folder without which the row cannot be run offline.
        downloads: Whether made-train can fetch the files by itself.
        seeds: Seeds that are run unless others are asked for.
        others: What others have published on the same data.
        remark: What a reader must know to compare.
    """

    name: str
    data: str
    model: str
    overrides: tuple[str, ...]
    files: tuple[str, ...] = ()
    downloads: bool = True
    seeds: tuple[int, ...] = (0,)
    others: tuple[Published, ...] = ()
    remark: str = ""

    def command(self, seed: int) -> str:
        """The command that gives the number."""
        extra = (f"seed={seed}",) if seed else ()
        return " ".join(("made-train", *self.overrides, *extra))


_THREE = (0, 1, 2)
_SMILEY = "smiley.jpg, 25 x 25"
_HINTON = "photograph, 200 x 200"
_ANOTHER_DRAW = "others: the same generator, another draw"


def _picture_row(name: str, ordering: str) -> Row:
    """A 2D density of the course under one ordering."""
    is_smiley = name == "made2d_smiley"
    own = ("dataset.original=true",) if is_smiley else ()
    chosen = () if ordering == "natural" else (f"ordering={ordering}",)
    return Row(
        name=name if ordering == "natural" else f"{name}-{ordering}",
        data=_SMILEY if is_smiley else _HINTON,
        model=f"MADE, {ordering}",
        overrides=(f"experiment={name}", *own, *chosen),
        files=("images/smiley.jpg" if is_smiley else "images/geoffrey-hinton.jpg",),
        seeds=_THREE,
        others=published("smiley" if is_smiley else "hinton"),
        remark=_ANOTHER_DRAW,
    )


def _npz_row(
    experiment: str,
    data: str,
    model: str,
    others: tuple[Published, ...],
    file: str | None = None,
    seeds: tuple[int, ...] = (0,),
    remark: str = "",
) -> Row:
    """A preset on a file of arrays that the user has."""
    path = f"npz/{file or data}.npz"
    return Row(
        name=experiment if experiment != "density" else f"density-{data}",
        data=data,
        model=model,
        overrides=(
            f"experiment={experiment}",
            "dataset=npz",
            f"dataset.path=$MADE_DATA_DIR/{path}",
        ),
        files=(path,),
        downloads=False,
        seeds=seeds,
        others=others,
        remark=remark,
    )


def _recipe_row(data: str) -> Row:
    """The recipe for any binary table on one of the 20 data sets of the circuits' benchmark."""
    return _npz_row("density", data, "density recipe", published("debd", {"table": data}))


def _uci_row(data: str, seeds: tuple[int, ...] = (0,)) -> Row:
    """The preset of a table of the MADE paper, on a file that is not the published one."""
    remark = "the published rows, put together again in another order"
    return _npz_row(data, data, "MADE", published(data), seeds=seeds, remark=remark)


def _binarized_mnist_row(experiment: str, model: str) -> Row:
    """A preset on the file that has the literature's binarization of train and valid."""
    return _npz_row(
        experiment,
        "MNIST, binarized",
        model,
        published("binarized_mnist"),
        file="binarized_mnist",
        remark="train and valid as published; test is another fixed draw of the same digits, whose "
        "mean differs by chance (s.d. 0.08 nats)",
    )


_ONE_DIMENSION = (
    Row(
        "histogram",
        "Gaussian, 20 bins",
        "histogram",
        ("experiment=histogram",),
        seeds=_THREE,
        others=published("gaussian_1d"),
    ),
    Row(
        "histogram-bimodal_1d",
        "two bumps, 100 bins",
        "histogram",
        ("experiment=histogram", "dataset=bimodal_1d"),
        seeds=_THREE,
        others=published("bimodal_1d"),
    ),
    Row(
        "logistic_mixture-gaussian_1d",
        "Gaussian, 20 bins",
        "4 logistics",
        ("experiment=logistic_mixture", "dataset=gaussian_1d"),
        seeds=_THREE,
        others=published("gaussian_1d"),
    ),
    Row(
        "logistic_mixture",
        "two bumps, 100 bins",
        "4 logistics",
        ("experiment=logistic_mixture",),
        seeds=_THREE,
        others=published("bimodal_1d"),
    ),
)

_IMAGES = (
    Row(
        "made_shapes",
        "Shapes, 20 x 20",
        "MADE",
        ("experiment=made_shapes",),
        remark="drawn by this package, so nobody else has a number",
    ),
    Row(
        "made_mnist",
        "MNIST, thresholded",
        "MADE",
        ("experiment=made_mnist",),
        files=("mnist/train-images-idx3-ubyte.gz", "mnist/t10k-images-idx3-ubyte.gz"),
        others=published("mnist"),
        remark="pixels above 127.5; not the binarized MNIST of the papers",
    ),
)

_PUBLISHED = (
    _uci_row("adult", _THREE),
    _uci_row("connect4"),
    Row(
        "dna",
        "dna",
        "MADE",
        ("experiment=dna",),
        files=("uci/dna.npz",),
        seeds=_THREE,
        others=published("dna"),
    ),
    Row(
        "made_paper_dna",
        "dna",
        "MADE as in the paper",
        ("experiment=made_paper_dna",),
        files=("uci/dna.npz",),
        others=published("dna"),
    ),
    Row(
        "mushrooms",
        "mushrooms",
        "MADE",
        ("experiment=mushrooms",),
        files=("uci/mushrooms.npz",),
        seeds=_THREE,
        others=published("mushrooms"),
    ),
    _recipe_row("nltcs"),
    _recipe_row("plants"),
    _recipe_row("accidents"),
    _binarized_mnist_row("binarized_mnist", "MADE, 8 orders"),
    _binarized_mnist_row("binarized_mnist_small", "MADE, one order"),
)

ROWS: tuple[Row, ...] = (
    *_ONE_DIMENSION,
    *(
        _picture_row(name, ordering)
        for name in ("made2d_smiley", "made2d_hinton")
        for ordering in ("natural", "reversed")
    ),
    *_IMAGES,
    *_PUBLISHED,
)
