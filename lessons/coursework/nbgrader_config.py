"""nbgrader's settings for this course. The one in a course folder, written by `make release`, loads this one."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import Execute

from preprocessors import Rebuild, Run, SetVariant

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "head-start"
c.CourseDirectory.source_directory = str(HERE / "source")

c.GenerateAssignment.preprocessors = [SetVariant, *GenerateAssignment().preprocessors]
c.Autograde.sanitize_preprocessors = [Rebuild, *Autograde().sanitize_preprocessors]
c.Autograde.autograde_preprocessors = [Run if step is Execute else step for step in Autograde().autograde_preprocessors]
c.Run.timeout = 120  # seconds for one cell
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError()"}
