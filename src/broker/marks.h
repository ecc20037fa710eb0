/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_MARKS_H
#define BROKER_MARKS_H

/*
 * Marks of the credentials in use, for the store: none of them gets into anybody's history.
 * pasted/known.h says what a mark is.
 */
struct broker;

/* To the store, all of them: when it came, and when there is another one. */
void marks_tell(struct broker *b);

#endif
