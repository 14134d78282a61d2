package schedule

import _ "time/tzdata" // a machine without zone files knows the same zones
