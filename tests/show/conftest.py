"""Makes the helpers of this folder importable: sample runs, and terminals to look at."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
