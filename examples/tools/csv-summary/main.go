// SPDX-License-Identifier: Apache-2.0

// csv-summary: {"csv": "a,b\n1,2\n"} on standard input, a summary of its columns on standard output.
package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

type input struct {
	CSV       string `json:"csv"`
	Separator string `json:"separator"`
}

type column struct {
	Name    string   `json:"name"`
	Values  int      `json:"values"`
	Numbers int      `json:"numbers"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	Sum     *float64 `json:"sum,omitempty"`
	Mean    *float64 `json:"mean,omitempty"`
}

type summary struct {
	Rows    int      `json:"rows"`
	Columns []column `json:"columns"`
}

func main() {
	var in input
	d := json.NewDecoder(os.Stdin)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, "csv-summary:", err)
		os.Exit(1)
	}
	out, err := summarise(in)
	if err != nil {
		// What is wrong with the data is an answer: a model can do something about it.
		write(map[string]string{"error": err.Error()})
		return
	}
	write(out)
}

func write(v any) {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, "csv-summary:", err)
		os.Exit(1)
	}
}

func summarise(in input) (*summary, error) {
	r := csv.NewReader(strings.NewReader(in.CSV))
	if in.Separator != "" {
		r.Comma, _ = utf8.DecodeRuneInString(in.Separator)
	}
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the text is empty")
	}
	if err != nil {
		return nil, err
	}
	s := &summary{Columns: make([]column, len(head))}
	for i, name := range head {
		s.Columns[i].Name = name
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s.Rows++
		for i, value := range row {
			s.Columns[i].add(value)
		}
	}
	for i := range s.Columns {
		if c := &s.Columns[i]; c.Numbers > 0 {
			mean := *c.Sum / float64(c.Numbers)
			c.Mean = &mean
		}
	}
	return s, nil
}

func (c *column) add(value string) {
	value = strings.TrimSpace(value)
	if value == "" {
		return
	}
	c.Values++
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return
	}
	if c.Numbers == 0 {
		least, greatest, sum := n, n, 0.0
		c.Min, c.Max, c.Sum = &least, &greatest, &sum
	}
	c.Numbers++
	*c.Min = math.Min(*c.Min, n)
	*c.Max = math.Max(*c.Max, n)
	*c.Sum += n
}
