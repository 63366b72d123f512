#!/usr/bin/env bash
# A method in any language: read a dataset folder, write a prediction folder, let deocc-bench score it.
#
#   predict.sh DATASET SPLIT OUT
#   deocc-bench evaluate predictions:OUT --data DATASET --split SPLIT --task mask --out RUN
#
# This one says that a person fills the box of what is seen of them. It knows nothing of deocc-bench: the dataset is COCO
# JSON and PNG, the answer is OUT/masks/<sample id>.png, 255 where the whole person is, of the size of the image.
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: $0 DATASET SPLIT OUT" >&2
  exit 2
fi
mkdir -p "$3/masks"

"${PYTHON:-python3}" - "$1/annotations/$2.json" "$3/masks" <<'PYTHON_CODE'
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco

annotations, out = Path(sys.argv[1]), Path(sys.argv[2])
for person in json.loads(annotations.read_text())["annotations"]:
    height, width = person["initial_mask"]["size"]
    x, y, w, h = (int(v) for v in coco.toBbox(person["initial_mask"]))
    answer = np.zeros((height, width), np.uint8)
    answer[y : y + h, x : x + w] = 255
    Image.fromarray(answer).save(out / f"{person['sample_id']}.png")
PYTHON_CODE

echo "$(find "$3/masks" -name '*.png' | wc -l) masks in $3/masks"
