// SPDX-License-Identifier: Apache-2.0

/** dates: {"date": "2026-11-25", "until": "2027-01-01"} on standard input, {"days": 37} on standard output. */

import { JSON } from "assemblyscript-json/assembly";
import { abort, exit, readInput, write } from "./wasi";

export { abort };

const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ERA_DAYS: i64 = 146097; // in 400 years
const FIRST: i64 = 0; // days of 0001-01-01 and 9999-12-31
const LAST: i64 = 3652058;

export function _start(): void {
  const input = JSON.parse(String.UTF8.decode(readInput().buffer));
  if (!input.isObj) {
    write(2, "dates: not an object\n");
    exit(1);
  }
  const o = <JSON.Obj>input;
  const text = o.getString("date");
  if (text == null) {
    write(2, "dates: date is missing\n");
    exit(1);
    return;
  }
  const from = daysOf(text.valueOf());
  if (from < 0) return answerError(text.valueOf());
  const until = o.getString("until");
  if (until != null) {
    const to = daysOf(until.valueOf());
    if (to < 0) return answerError(until.valueOf());
    return answer("days", (to - from).toString());
  }
  const add = o.getInteger("add_days");
  const day = from + (add != null ? add.valueOf() : 0);
  if (day < FIRST || day > LAST) {
    return answer("error", new JSON.Str("the date would lie outside the years 1 to 9999").stringify());
  }
  write(1, '{"date":"' + dateOf(day) + '","weekday":"' + WEEKDAYS[<i32>(day % 7)] + '"}\n');
}

function answer(name: string, value: string): void {
  write(1, '{"' + name + '":' + value + "}\n");
}

function answerError(text: string): void {
  answer("error", new JSON.Str(text + " is not a date").stringify());
}

/** Days since 0001-01-01, or -1 for what is not a date. */
function daysOf(text: string): i64 {
  if (text.length != 10 || text.charAt(4) != "-" || text.charAt(7) != "-") return -1;
  const y = digits(text, 0, 4), m = digits(text, 5, 7), d = digits(text, 8, 10);
  if (y < 1 || m < 1 || m > 12 || d < 1 || d > lengthOf(y, m)) return -1;
  // Years that begin in March end with the leap day.
  const year = <i64>(m <= 2 ? y - 1 : y), month = <i64>((m + 9) % 12);
  const inYear = (153 * month + 2) / 5 + d - 1;
  return year * 365 + year / 4 - year / 100 + year / 400 + inYear - 306;
}

function dateOf(day: i64): string {
  const z = day + 306;
  const era = z / ERA_DAYS, inEra = z - era * ERA_DAYS;
  const yearOfEra = (inEra - inEra / 1460 + inEra / 36524 - inEra / 146096) / 365;
  const inYear = inEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
  const month = (5 * inYear + 2) / 153;
  const d = inYear - (153 * month + 2) / 5 + 1;
  const m = month < 10 ? month + 3 : month - 9;
  const y = yearOfEra + era * 400 + (m <= 2 ? 1 : 0);
  return y.toString().padStart(4, "0") + "-" + m.toString().padStart(2, "0") + "-" + d.toString().padStart(2, "0");
}

function lengthOf(year: i32, month: i32): i32 {
  if (month == 2) return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

function digits(text: string, begin: i32, end: i32): i32 {
  let n = 0;
  for (let i = begin; i < end; i++) {
    const c = text.charCodeAt(i) - 48;
    if (c < 0 || c > 9) return -1;
    n = n * 10 + c;
  }
  return n;
}
