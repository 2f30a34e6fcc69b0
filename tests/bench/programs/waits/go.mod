module waits

go 1.25.0
