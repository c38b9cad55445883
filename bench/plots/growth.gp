# SPDX-License-Identifier: Apache-2.0
# growth.svg from destinations.dat, sessions.dat and ceiling.dat, which bench/run writes; run it in this folder.
set terminal svg size 900,420 dynamic font "sans,13" background "white"
set output "growth.svg"
set multiplot layout 1,2 title "tlsmend: processor time of a mail (4 KiB, a client connection for each; median, least and most)"
set logscale x 10
set yrange [0:*]
set format y "%.2f"
set grid ytics linecolor rgb "#dddddd"
set key bottom right
set ylabel "CPU-s per 1,000 messages"
set bars small

# The goal: nothing is farther than 20 % from the mean.
stats "destinations.dat" using 2 nooutput
mean = STATS_mean
set xrange [0.7:1500]
set xlabel "destinations, each with an MX of its own (50 sessions)"
plot "destinations.dat" using 1:2:3:4 with yerrorlines pointtype 7 linewidth 2 linecolor rgb "#1f6fb2" title "measured", \
     mean * 1.2 with lines dashtype 2 linecolor rgb "#b23a1f" title "mean +/- 20 %", \
     mean * 0.8 with lines dashtype 2 linecolor rgb "#b23a1f" notitle

stats "sessions.dat" using 2 nooutput
mean = STATS_mean
set xrange [7:7500]
set xlabel "parallel sessions (1 destination)"
plot "sessions.dat" using 1:2:3:4 with yerrorlines pointtype 7 linewidth 2 linecolor rgb "#1f6fb2" title "measured", \
     "ceiling.dat" using 1:2:3:4 with yerrorlines pointtype 6 linecolor rgb "#777777" title "no relay, no TLS: load and sink", \
     mean * 1.2 with lines dashtype 2 linecolor rgb "#b23a1f" title "mean +/- 20 %", \
     mean * 0.8 with lines dashtype 2 linecolor rgb "#b23a1f" notitle
unset multiplot
