/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_CREDENTIALS_H
#define STORE_CREDENTIALS_H

/* The providers' credentials that are in use, as far as the store knows them: by their marks. */
#include <wire/store_broker.h>

/* Those of the broker now, in place of what it said before; what another broker said stays. */
void credentials_take(const struct sb_credentials *m);
/* May not be in any history. */
bool credentials_in(struct span text);
void credentials_forget(void);

#endif
