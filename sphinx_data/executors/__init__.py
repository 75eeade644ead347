"""How the parts of a plan are spread and finished: local processes today; the seam is `build.build_part`."""
