/* What has to happen in PID 1 before any Swift code: see CInitStart.c. */
#pragma once
