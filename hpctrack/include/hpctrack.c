/* What hpctrack.f90 links to; C and C++ programs just include the header. */
#include "hpctrack.h"
