#pragma once
#include "sonar/error.h"
