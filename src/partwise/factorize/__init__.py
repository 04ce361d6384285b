"""Estimators with scikit-learn's grammar."""

from partwise.factorize._consensus_programs import consensus_programs
from partwise.factorize._consensus_ranks import consensus_ranks
from partwise.factorize._consensus_record import Consensus, ConsensusRanks
from partwise.factorize._consensus_refit import gene_scores, refit_programs, top_genes
from partwise.factorize.consensus import ConsensusNMF
from partwise.factorize.held_out import HeldOut, held_out_error
from partwise.factorize.minibatch import MiniBatchNMF
from partwise.factorize.nmf import NMF
from partwise.factorize.rank import RankSelection, select_rank

__all__ = [
    "NMF",
    "Consensus",
    "ConsensusNMF",
    "ConsensusRanks",
    "HeldOut",
    "MiniBatchNMF",
    "RankSelection",
    "consensus_programs",
    "consensus_ranks",
    "gene_scores",
    "held_out_error",
    "refit_programs",
    "select_rank",
    "top_genes",
]
