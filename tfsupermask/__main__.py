"""The programs: `python -m tfsupermask train` is `tfsupermask train`."""

import sys

if __name__ == "__main__":
    sys.argv[0] = "tfsupermask"  # as the command has it; `binaries` looks at it
    from binaries.__main__ import main

    main()
