// A target of C needs a source file.
#include "CFuzzer.h"
