# Reads lines of a name and pairs "what=time" (RFC 3339 in UTC; "-" if it has not happened), and prints for each line how many
# milliseconds after the first of its times the others were.

function milliseconds(time,   part, year, month, day, era_year, days) {
	split(time, part, /[-T:Z]/)
	year = part[1]; month = part[2]; day = part[3]
	# Days since 0000-03-01: the year begins in March, so that a leap day is its last one.
	era_year = month > 2 ? year : year - 1
	days = 365 * era_year + int(era_year / 4) - int(era_year / 100) + int(era_year / 400)
	days += int((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day
	# Counted from 2020, so that every digit counts.
	return ((days - 737790) * 86400 + part[4] * 3600 + part[5] * 60 + part[6]) * 1000
}

{
	line = ""
	for (i = 2; i <= NF; i++) {
		split($i, pair, "=")
		if (pair[2] == "-")
			continue
		if (line == "")
			start = milliseconds(pair[2])
		else
			line = line " -> "
		gsub(/_/, " ", pair[1])
		line = line sprintf("%s %.0f ms", pair[1], milliseconds(pair[2]) - start)
	}
	printf "%-21s %s\n", $1, line
}
