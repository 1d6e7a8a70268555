"""Regenerates every golden file: test/golden/primitives.json and test/golden/v4.

    python tools/reference/regenerate.py
"""

import hf_golden
import official_golden
import primitives_golden
import v4_golden

if __name__ == "__main__":
    primitives_golden.main()
    v4_golden.main()
    hf_golden.main()
    official_golden.main()
