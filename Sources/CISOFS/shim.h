#pragma once
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <sys/stat.h>
#include <libisofs/libisofs.h>
