#pragma once
#include <libdevmapper.h>
#include <lvm2cmd.h>
