module example.com/csv-summary

go 1.21
