"""Registered method names. Installed packages add theirs under the entry point group `deocc_bench.methods`."""

from deocc_bench.core.registry import Registry

METHODS = Registry(
    "method",
    {
        # masks
        "modal": "deocc_bench.baselines.modal:Modal",
        "initial": "deocc_bench.baselines.initial:Initial",
        "convex-hull": "deocc_bench.baselines.convex_hull:ConvexHull",
        "dilate": "deocc_bench.baselines.dilate:Dilate",
        "symmetry": "deocc_bench.baselines.symmetry:Symmetry",
        "mean-shape": "deocc_bench.baselines.mean_shape:MeanShape",
        "nearest-template": "deocc_bench.baselines.nearest_template:NearestTemplate",
        "unet": "deocc_bench.baselines.unet:UNetMethod",
        # content
        "copy": "deocc_bench.baselines.copy_image:Copy",
        "mean-colour": "deocc_bench.baselines.mean_colour:MeanColour",
        "telea": "deocc_bench.baselines.telea:Telea",
        "navier-stokes": "deocc_bench.baselines.navier_stokes:NavierStokes",
        "biharmonic": "deocc_bench.baselines.biharmonic:Biharmonic",
        "patch-match": "deocc_bench.baselines.patch_match:PatchMatch",
        "nearest-human": "deocc_bench.baselines.nearest_human:NearestHuman",
        # both
        "chain": "deocc_bench.baselines.chain:Chain",
        "oracle": "deocc_bench.baselines.oracle:Oracle",
        # the network
        "two-stage": "deocc_bench.models.two_stage:TwoStage",
        "mask-baseline": "deocc_bench.models.two_stage:MaskBaseline",
        "content-baseline": "deocc_bench.models.two_stage:ContentBaseline",
    },
    "deocc_bench.methods",
)
