/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOOL_OFFER_H
#define GATEWAY_TOOL_OFFER_H

#include "turn.h"

#define TOOLS_TEXT_MAX (2U << 20) /* bytes of all tools that are offered */

/*
 * Choose among t->offers: t->offered, t->tools and t->answer know them afterwards.
 * State: the client's body lies parsed in the worker's document.
 * E_FULL (their texts are too long), E_NOMEM.
 */
MUST_USE struct status tool_offer_all(struct turn *t);

#endif
