"""lcm_pipeline"""
