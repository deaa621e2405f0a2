"""Floor 5, api. Lists the public functions, each with the module that holds it.

The package offers these names itself (`from dsv4recipe import build`) and loads a module when its name is first used.
To add a function, write a module here and add a line below. A module takes what users have (a path, a name, or an
opened object), calls the rooms below, and returns plain data or a frozen object. It prints nothing.
"""

from __future__ import annotations

PUBLIC = {
    # what people write, and what they have
    "load_recipe": "dsv4recipe.api.load_recipe",
    "check": "dsv4recipe.api.check",
    "open_checkpoint": "dsv4recipe.api.open_checkpoint",
    "inspect": "dsv4recipe.api.inspect",
    # before a build
    "make_plan": "dsv4recipe.api.make_plan",
    "explain": "dsv4recipe.api.explain",
    "diff": "dsv4recipe.api.diff",
    "allocate": "dsv4recipe.api.allocate",
    "lock": "dsv4recipe.api.lock",
    # the build, and what is said of it afterwards
    "build": "dsv4recipe.api.build",
    "verify": "dsv4recipe.api.verify",
    "calibrate": "dsv4recipe.api.calibrate",
    "evaluate": "dsv4recipe.api.evaluate",
    "ask": "dsv4recipe.api.ask",
    "push": "dsv4recipe.api.push",
    "decompile": "dsv4recipe.api.decompile",
    "report": "dsv4recipe.api.report",
    # errors
    "RecipeError": "dsv4recipe.errors",
}
"""Maps each public name to its module."""
