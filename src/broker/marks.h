/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_MARKS_H
#define BROKER_MARKS_H

/*
 * Marks of the credentials in use, for the store: none of them gets into anybody's history.
 * pasted/known.h says what a mark is.
 */
#define MARKS_AGAIN_MS 1000

struct broker;

/*
 * To the store, all of them: when it came, and when there is another one. What fails is said, and
 * tried again.
 */
void marks_tell(struct broker *b);
/* Nothing is tried any more; its timer closes with the next turn of the loop. */
void marks_end(void);

#endif
