"""The Olivetti faces: ten grey photographs of each of 40 people, 64 x 64 pixels.

A MATLAB 5 file with the variable ``faces``, (4096, 400): each column is an image, stored column by column, and each run
of ten columns is one person.  There is no official split; here each person's ten images go eight, one and one.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from nice_np.datasets.base import Dataset, of_images
from nice_np.datasets.download import RemoteFile
from nice_np.datasets.files import given_folder, locate
from nice_np.datasets.mat import Variable, read_mat
from nice_np.errors import DatasetError
from nice_np.suggestions import suggests

# Several versions of the file exist: one of 4 MB on the author's page and at Figshare, whose checksum scikit-learn
# publishes, and one that was saved again, compressed, in 2013.  They are recognised by their pixels.
FILE = RemoteFile(
    "olivettifaces.mat",
    ("https://cs.nyu.edu/~roweis/data/olivettifaces.mat", "https://ndownloader.figshare.com/files/5976027"),
    "b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794",
    1 << 23,
    size_is_exact=False,
)
PIXELS_SHA256 = "b119468c2f13775df12d3950e7c96644811647a6e10d30617777f245bf9b2f8b"  # of `faces`, column after column
N_PEOPLE, N_EACH = 40, 10
IMAGE_SHAPE = (64, 64)
SOURCE = (
    "The Olivetti (ORL) faces, AT&T Laboratories Cambridge 1992-1994, in Sam Roweis' version of 64 x 64 pixels; credit "
    "AT&T Laboratories Cambridge"
)


@suggests
def load_faces(data_dir: str | os.PathLike[str] | None = None, *, progress: bool = False) -> Dataset:
    """The 400 Olivetti faces: for each person eight training images, the ninth for validation, the last to test.

    Every person is in every split: the test images are new images of known people.

    Parameters
    ----------
    data_dir : path, optional
        As in `load_mnist`: the folder with olivettifaces.mat, or with a subfolder ``faces`` that holds it, or a
        download of 4 MB.
    progress : bool
        Show a progress bar on stderr while downloading.

    Returns
    -------
    Dataset
        320, 40 and 40 uint8 images of shape (N, 4096), ordered by person, with labels 0..39 for the people, `bin_width`
        1/256.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or holds other images; names the file.
    NiceImportError, NiceTypeError
        As in `load_mnist`.
    """
    path = locate(FILE, given_folder(data_dir, "load_faces"), "faces", "the file", progress=progress)
    shape = (IMAGE_SHAPE[0] * IMAGE_SHAPE[1], N_PEOPLE * N_EACH)
    columns = read_mat(path, {"faces": Variable(shape, 0, 255)})["faces"]  # (4096, 400)
    images = np.ascontiguousarray(columns.T, dtype=np.uint8)  # (400, 4096)
    found = hashlib.sha256(images.tobytes()).hexdigest()
    if found != PIXELS_SHA256:
        raise DatasetError(
            f"{path}: a well-formed file, but not the Olivetti faces: the SHA-256 of its pixels is {found}, expected "
            f"{PIXELS_SHA256}"
        )
    upright = images.reshape(-1, *IMAGE_SHAPE).transpose(0, 2, 1)  # the file stores images column by column
    people = upright.reshape(N_PEOPLE, N_EACH, -1)  # (40, 10, 4096)
    labels = np.arange(N_PEOPLE)  # (40,)
    train = people[:, :8].reshape(8 * N_PEOPLE, -1), labels.repeat(8)  # (320, 4096), (320,)
    return of_images("faces", train, (people[:, 8], labels), (people[:, 9], labels.copy()), IMAGE_SHAPE, SOURCE)
