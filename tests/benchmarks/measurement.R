# Polychorics, confirmatory factor analysis and polychoric parallel analysis by R, timed.
# Rscript measurement.R small.csv large.csv repeats
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages({library(lavaan); library(psych)})
small <- read.csv(arguments[1]); large <- read.csv(arguments[2]); repeats <- as.integer(arguments[3])
model <- paste(sapply(1:5, function(f) {
  items <- names(small)[(seq_len(ncol(small)) - 1) %% 5 == f - 1]
  paste0("f", f, " =~ ", paste(items, collapse = " + "))
}), collapse = "\n")
wanted <- c("chisq", "chisq.scaled", "cfi", "cfi.robust", "rmsea.robust", "srmr")
timed <- function(expression, times = repeats) {
  call <- substitute(expression); frame <- parent.frame()
  median(sapply(seq_len(times), function(i) system.time(eval(call, frame))[["elapsed"]]))
}
fit <- function(data, ...) { f <- cfa(model, data, ...); list(parameterEstimates(f, standardized = TRUE), fitMeasures(f)) }
reported <- function(data, ...) {
  found <- fit(data, ...)[[2]]
  as.list(found[intersect(wanted, names(found))])
}
session <- sessionInfo()
result <- list(
  r = R.version.string, lavaan = as.character(packageVersion("lavaan")), psych = as.character(packageVersion("psych")),
  blas_path = session$BLAS, cores = parallel::detectCores(),
  seconds = list(
    polychoric_lavaan = timed(lavCor(large, ordered = names(large)), 1),
    polychoric_psych = timed(polychoric(large), 1),
    wlsmv_small = timed(fit(small, ordered = TRUE)),
    wlsmv_large = timed(fit(large, ordered = TRUE), 1),
    ml_small = timed(fit(small)),
    mlr_large = timed(fit(large, estimator = "MLR"), 1),
    parallel_small = timed(fa.parallel(small, cor = "poly", n.iter = 20, plot = FALSE), 1)),
  values = list(
    polychoric = as.vector(lavCor(small, ordered = names(small))[1:3, 4]),
    wlsmv_small = reported(small, ordered = TRUE), ml_small = reported(small),
    mlr_large = reported(large, estimator = "MLR"), wlsmv_large = reported(large, ordered = TRUE)))
cat("\nRESULT", jsonlite::toJSON(result, auto_unbox = TRUE, digits = 10), "\n")
