// Functions that read a flag's value into the plan: for the table of flags.
#pragma once

#include "run/flags.h"

flag_read value_integer, value_exponent, value_share, value_rate, value_duration, value_path,
    value_token, value_id, value_run, value_scenario, value_arrival, value_spread, value_spacing,
    value_route, value_keys, value_requirement, value_prizes, value_mix, value_then;
