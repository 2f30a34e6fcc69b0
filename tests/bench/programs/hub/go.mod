module hub

go 1.25.0
