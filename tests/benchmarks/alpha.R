# Times psych::alpha with its bootstrap on a file of ratings. Arguments: file, draws, repetitions. Prints JSON.
suppressMessages({
  library(psych)
  library(jsonlite)
})
arguments <- commandArgs(trailingOnly = TRUE)
x <- read.csv(arguments[1])
draws <- as.integer(arguments[2])
seconds <- numeric(0)
for (k in seq_len(as.integer(arguments[3]))) {
  set.seed(k)
  seconds <- c(seconds, system.time(found <- alpha(x, n.iter = draws, warnings = FALSE))[["elapsed"]])
}
info <- sessionInfo()
cat(toJSON(list(
  seconds = seconds,
  alpha = found$total$raw_alpha,
  item_rest = found$item.stats$r.drop,
  dropped = found$alpha.drop$raw_alpha,
  interval = unname(found$boot.ci[c(1, 3)]),
  R = R.version.string,
  psych = as.character(packageVersion("psych")),
  blas = info$BLAS
), digits = 12, auto_unbox = TRUE))
