"""All hostile inputs, by what they pretend to be."""

from tests.hostile import archives, models, pictures, programs, runs, saved, tickets

GROUPS = {
    "images and folders of images": pictures.INPUTS,
    "archives and prepared datasets": archives.INPUTS,
    "tickets": tickets.INPUTS,
    "checkpoints and the progress of an initialisation": saved.INPUTS,
    "run folders and reports": runs.INPUTS,
    "models, arrays, numbers": models.INPUTS,
    "command lines": programs.INPUTS,
}
INPUTS = {name: given for inputs in GROUPS.values() for name, given in inputs.items()}
