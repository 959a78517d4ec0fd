# Parallel analysis by psych, timed: Rscript parallel_analysis.R answers.csv draws
arguments <- commandArgs(trailingOnly = TRUE)
suppressMessages(library(psych))
answers <- as.matrix(read.csv(arguments[1]))
set.seed(1)
seconds <- system.time(
  found <- fa.parallel(answers, n.iter = as.integer(arguments[2]), plot = FALSE)
)[["elapsed"]]
session <- sessionInfo()
cat("\nRESULT", jsonlite::toJSON(list(
  r = R.version.string, psych = as.character(packageVersion("psych")), blas = basename(session$BLAS),
  blas_path = session$BLAS, cores = parallel::detectCores(), seconds = seconds, factors = found$nfact,
  components = found$ncomp, fa_values = found$fa.values, pc_values = found$pc.values
), auto_unbox = TRUE, digits = 10), "\n")
